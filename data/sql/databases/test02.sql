CREATE TABLE tents (mason TEXT, ads INTEGER, sign TEXT, river TEXT);
INSERT INTO tents VALUES
('Bosski', 107, 'Zager', 'Wagen'),
('Gosen', 314, 'Muvis', 'Bavin'),
('Jinen', 367, 'Kedic', 'Damum'),
('Fegum', 324, 'Kedic', 'Feper'),
('Dupen', 363, 'Muvis', 'Wagen'),
('Bekum', 542, 'Kukic', 'Rutis'),
('Nizer', 634, 'Kedic', 'Sugak'),
('Gomin', 155, 'Zager', 'Bavin'),
('Salum', 805, 'Kedic', 'Rutis'),
('Panel', 491, 'Zager', 'Damum');

CREATE TABLE ants (river TEXT, moon TEXT, piers INTEGER);
INSERT INTO ants VALUES
('Bavin', 'Sufoff', 277),
('Rutis', 'Sufoff', 121),
('Wagen', 'Sufoff', 783),
('Damum', 'Penel', 564),
('Feper', 'Penel', 769),
('Sugak', 'Hukic', 989);

CREATE TABLE cats (image TEXT, test TEXT, cents INTEGER, farm TEXT);
INSERT INTO cats VALUES
('Roder', 'Kifoff', 160, 'Valski'),
('Seris', 'Jogel', 248, 'Zuzum'),
('Satic', 'Pilin', 370, 'Ribski'),
('Jorer', 'Pilin', 731, 'Zuzum'),
('Nizoff', 'Kifoff', 920, 'Huser'),
('Wevin', 'Pilin', 924, 'Tesoff'),
('Kotak', 'Sifak', 725, 'Tesoff'),
('Nepum', 'Kifoff', 799, 'Domin'),
('Potis', 'Pilin', 928, 'Huser'),
('Wifin', 'Sifak', 622, 'Domin');

CREATE TABLE courses (farm TEXT, ward TEXT, drives INTEGER);
INSERT INTO courses VALUES
('Huser', 'Tenon', 685),
('Tesoff', 'Baben', 395),
('Zuzum', 'Romak', 53),
('Domin', 'Tenon', 213),
('Valski', 'Baben', 363),
('Ribski', 'Tenon', 729);

CREATE TABLE wings (farm TEXT, state TEXT, drives INTEGER, root TEXT);
INSERT INTO wings VALUES
('Sivoff', 'Deken', 710, 'Seton'),
('Buven', 'Deken', 539, 'Bopski'),
('Pikov', 'Yazum', 605, 'Hotum'),
('Putin', 'Dazin', 797, 'Vomic'),
('Hubis', 'Bokov', 45, 'Vomic'),
('Vegum', 'Dazin', 400, 'Koken'),
('Sozis', 'Dazin', 613, 'Mumon'),
('Diper', 'Bokov', 211, 'Bopski'),
('Tudum', 'Dazin', 631, 'Koken'),
('Bepen', 'Deken', 14, 'Mumon');

CREATE TABLE dancers (root TEXT, flowers INTEGER, room TEXT);
INSERT INTO dancers VALUES
('Koken', 772, 'Vekski'),
('Vomic', 746, 'Vekski'),
('Mumon', 721, 'Yatski'),
('Bopski', 617, 'Yatski'),
('Hotum', 789, 'Vekski'),
('Seton', 125, 'Libic');

CREATE TABLE spices (river TEXT, wall TEXT, vents INTEGER, dock TEXT);
INSERT INTO spices VALUES
('Yapski', 'Dagoff', 96, 'Nepis'),
('Bolon', 'Nilon', 881, 'Nepis'),
('Zinic', 'Dagoff', 480, 'Dofak'),
('Podum', 'Fufis', 916, 'Vagic'),
('Tasak', 'Jebel', 232, 'Zisov'),
('Danic', 'Jebel', 562, 'Zisov'),
('Pusel', 'Dagoff', 950, 'Dofak'),
('Fitin', 'Fufis', 201, 'Tokak'),
('Rukski', 'Jebel', 619, 'Tagak'),
('Dufis', 'Dagoff', 573, 'Tagak');

CREATE TABLE stands (dock TEXT, charm INTEGER, flag TEXT);
INSERT INTO stands VALUES
('Nepis', 681, 'Dafski'),
('Tagak', 527, 'Bibel'),
('Zisov', 631, 'Murov'),
('Dofak', 619, 'Dafski'),
('Vagic', 480, 'Murov'),
('Tokak', 577, 'Dafski');

CREATE TABLE planes (wine TEXT, blocks INTEGER, reader TEXT, sailor TEXT);
INSERT INTO planes VALUES
('Pevum', 797, 'Sisis', 'Sakic'),
('Migoff', 426, 'Sisis', 'Sakic'),
('Ritoff', 955, 'Basum', 'Divski'),
('Wuzic', 180, 'Yezon', 'Jatoff'),
('Zulak', 333, 'Serer', 'Welen'),
('Raris', 587, 'Serer', 'Lanov'),
('Yovic', 193, 'Basum', 'Sedak'),
('Havski', 206, 'Basum', 'Jatoff'),
('Javis', 729, 'Basum', 'Divski'),
('Rinski', 557, 'Sisis', 'Lanov');

CREATE TABLE estates (sailor TEXT, dealer TEXT, assets INTEGER);
INSERT INTO estates VALUES
('Jatoff', 'Fabov', 801),
('Sakic', 'Tadin', 908),
('Lanov', 'Fabov', 621),
('Divski', 'Fabov', 340),
('Welen', 'Lagov', 248),
('Sedak', 'Tadin', 564);

CREATE TABLE forges (son TEXT, test TEXT, beats INTEGER, lender TEXT);
INSERT INTO forges VALUES
('Zopum', 'Zonel', 428, 'Lozoff'),
('Guber', 'Jafov', 438, 'Rover'),
('Pulov', 'Jogum', 524, 'Wisel'),
('Tebis', 'Zonel', 661, 'Filoff'),
('Povov', 'Nafoff', 571, 'Visski'),
('Gutel', 'Jogum', 500, 'Perov'),
('Jegak', 'Jogum', 880, 'Lozoff'),
('Hasen', 'Jogum', 617, 'Rover'),
('Lopov', 'Zonel', 555, 'Filoff'),
('Vagin', 'Nafoff', 698, 'Perov');

CREATE TABLE gangs (lender TEXT, blows INTEGER, park TEXT);
INSERT INTO gangs VALUES
('Filoff', 393, 'Fimov'),
('Rover', 500, 'Fimov'),
('Perov', 805, 'Dimov'),
('Lozoff', 557, 'Dimov'),
('Visski', 240, 'Dimov'),
('Wisel', 741, 'Vapon');

CREATE TABLE wines (tree TEXT, files INTEGER, spice TEXT, genus TEXT);
INSERT INTO wines VALUES
('Lutis', 682, 'Hapak', 'Metin'),
('Gamic', 449, 'Gitski', 'Wipski'),
('Duzov', 558, 'Wuvak', 'Nonak'),
('Lugon', 294, 'Gitski', 'Minak'),
('Lifer', 705, 'Zekak', 'Minak'),
('Pokis', 920, 'Zekak', 'Metin'),
('Nelak', 514, 'Wuvak', 'Nonak'),
('Vakoff', 858, 'Wuvak', 'Yamer'),
('Zepum', 693, 'Gitski', 'Hivum'),
('Lunin', 361, 'Gitski', 'Hivum');

CREATE TABLE cranes (genus TEXT, baths INTEGER, trail TEXT);
INSERT INTO cranes VALUES
('Hivum', 233, 'Kanak'),
('Metin', 493, 'Vorov'),
('Nonak', 732, 'Gekoff'),
('Minak', 221, 'Kanak'),
('Wipski', 866, 'Vorov'),
('Yamer', 729, 'Kanak');

CREATE TABLE domes (route TEXT, root TEXT, pots INTEGER, sailor TEXT);
INSERT INTO domes VALUES
('Voken', 'Fuzski', 721, 'Sonoff'),
('Lavin', 'Kagin', 350, 'Meson'),
('Zebin', 'Kagin', 240, 'Telel'),
('Pobon', 'Sepis', 344, 'Jirov'),
('Novic', 'Sepis', 886, 'Gopum'),
('Wusoff', 'Sepis', 88, 'Telel'),
('Nuvel', 'Pekov', 68, 'Gopum'),
('Walic', 'Sepis', 499, 'Zelen'),
('Futis', 'Kagin', 648, 'Jirov'),
('Fifak', 'Fuzski', 424, 'Zelen');

CREATE TABLE trails (sailor TEXT, assets INTEGER, host TEXT);
INSERT INTO trails VALUES
('Telel', 718, 'Gebon'),
('Zelen', 111, 'Gagen'),
('Gopum', 751, 'Gagen'),
('Jirov', 979, 'Bumis'),
('Meson', 880, 'Bumis'),
('Sonoff', 121, 'Bumis');

CREATE TABLE farms (lot TEXT, server TEXT, lots INTEGER, bar TEXT);
INSERT INTO farms VALUES
('Libum', 'Toler', 375, 'Romer'),
('Watoff', 'Notic', 346, 'Fufov'),
('Nudski', 'Toler', 928, 'Fatak'),
('Dotoff', 'Notic', 924, 'Riben'),
('Yugoff', 'Gipum', 691, 'Beben'),
('Bemum', 'Bezski', 156, 'Beben'),
('Degis', 'Notic', 979, 'Fatak'),
('Sumin', 'Notic', 522, 'Romer'),
('Dabov', 'Toler', 698, 'Nubis'),
('Wubel', 'Gipum', 780, 'Nubis');

CREATE TABLE servers (bar TEXT, blocks INTEGER, leader TEXT);
INSERT INTO servers VALUES
('Nubis', 210, 'Punum'),
('Romer', 698, 'Punum'),
('Fatak', 503, 'Ligel'),
('Beben', 487, 'Doker'),
('Fufov', 624, 'Ligel'),
('Riben', 512, 'Ligel');

CREATE TABLE rivers (dance TEXT, tricks INTEGER, ring TEXT, son TEXT);
INSERT INTO rivers VALUES
('Polak', 721, 'Yukak', 'Nefoff'),
('Sibum', 547, 'Seten', 'Vapis'),
('Naris', 605, 'Seten', 'Nefoff'),
('Busoff', 693, 'Seten', 'Sivin'),
('Zoner', 920, 'Kurov', 'Potak'),
('Novin', 679, 'Kurov', 'Tadis'),
('Hadov', 17, 'Kurov', 'Yuner'),
('Jatoff', 769, 'Yukak', 'Tadis'),
('Jagoff', 493, 'Kavum', 'Yuner'),
('Wodak', 500, 'Kurov', 'Potak');

CREATE TABLE actors (son TEXT, street TEXT, pens INTEGER);
INSERT INTO actors VALUES
('Tadis', 'Ranin', 532),
('Nefoff', 'Bekis', 298),
('Potak', 'Ranin', 555),
('Yuner', 'Bifak', 803),
('Sivin', 'Bifak', 314),
('Vapis', 'Bifak', 414);

CREATE TABLE traders (arena TEXT, pens INTEGER, quest TEXT, sign TEXT);
INSERT INTO traders VALUES
('Botski', 155, 'Pavoff', 'Yosen'),
('Takic', 193, 'Semoff', 'Kemer'),
('Tesoff', 333, 'Semoff', 'Kemer'),
('Fuder', 593, 'Lelis', 'Tisski'),
('Mebon', 232, 'Mogov', 'Numer'),
('Fanin', 518, 'Semoff', 'Notic'),
('Nipoff', 551, 'Lelis', 'Gebov'),
('Refov', 461, 'Lelis', 'Tisski'),
('Wafoff', 629, 'Semoff', 'Gebov'),
('Geven', 559, 'Pavoff', 'Notic');

CREATE TABLE pets (sign TEXT, seals INTEGER, dealer TEXT);
INSERT INTO pets VALUES
('Notic', 783, 'Hinak'),
('Tisski', 383, 'Hinak'),
('Kemer', 624, 'Zakski'),
('Gebov', 207, 'Wokak'),
('Yosen', 587, 'Zakski'),
('Numer', 901, 'Hinak');

CREATE TABLE parks (trainer TEXT, vents INTEGER, ring TEXT, estate TEXT);
INSERT INTO parks VALUES
('Yimak', 733, 'Kifoff', 'Paren'),
('Gedin', 790, 'Yopel', 'Yodoff'),
('Gugak', 725, 'Duzski', 'Sedel'),
('Vulis', 96, 'Kifoff', 'Paren'),
('Zaric', 587, 'Duzski', 'Sedel'),
('Nurov', 171, 'Duzski', 'Bafak'),
('Vubum', 344, 'Jamel', 'Yodoff'),
('Supak', 508, 'Duzski', 'Puler'),
('Wevic', 370, 'Yopel', 'Welon'),
('Lelis', 989, 'Yopel', 'Welon');

CREATE TABLE bears (estate TEXT, crest TEXT, hooks INTEGER);
INSERT INTO bears VALUES
('Welon', 'Welen', 780),
('Sedel', 'Ragski', 797),
('Yodoff', 'Miris', 277),
('Paren', 'Miris', 461),
('Puler', 'Ragski', 508),
('Bafak', 'Miris', 240);

CREATE TABLE banks (land TEXT, word TEXT, tracks INTEGER, dealer TEXT);
INSERT INTO banks VALUES
('Guger', 'Zugum', 512, 'Tomer'),
('Pizov', 'Zugum', 769, 'Giter'),
('Nubski', 'Bifak', 240, 'Suker'),
('Vufel', 'Visov', 98, 'Giter'),
('Hasov', 'Bifak', 147, 'Zesic'),
('Kurel', 'Tavski', 394, 'Fekov'),
('Worin', 'Visov', 725, 'Besum'),
('Jefin', 'Zugum', 201, 'Suker'),
('Kepoff', 'Visov', 587, 'Besum'),
('Firen', 'Zugum', 619, 'Zesic');

CREATE TABLE bards (dealer TEXT, trail TEXT, heads INTEGER);
INSERT INTO bards VALUES
('Zesic', 'Wakum', 406),
('Giter', 'Wakum', 485),
('Suker', 'Vuzic', 450),
('Besum', 'Liben', 423),
('Fekov', 'Vuzic', 682),
('Tomer', 'Wakum', 326);

CREATE TABLE beaches (center TEXT, piers INTEGER, farm TEXT, rower TEXT);
INSERT INTO beaches VALUES
('Huzum', 691, 'Visoff', 'Jukic'),
('Kagic', 503, 'Visoff', 'Benis'),
('Fakum', 598, 'Yekak', 'Banic'),
('Dorak', 461, 'Jolski', 'Benis'),
('Foner', 160, 'Visoff', 'Mimer'),
('Lafov', 400, 'Yekak', 'Gaken'),
('Ponon', 135, 'Butski', 'Mimer'),
('Pasel', 769, 'Butski', 'Gaken'),
('Yesin', 974, 'Butski', 'Rotis'),
('Kofis', 119, 'Butski', 'Banic');

CREATE TABLE grapes (rower TEXT, wall TEXT, halls INTEGER);
INSERT INTO grapes VALUES
('Banic', 'Bebski', 40),
('Mimer', 'Gadel', 729),
('Benis', 'Kolak', 104),
('Gaken', 'Gadel', 974),
('Rotis', 'Kolak', 96),
('Jukic', 'Gadel', 394);

CREATE TABLE wards (lessee TEXT, winner TEXT, reserve INTEGER, page TEXT);
INSERT INTO wards VALUES
('Tobic', 'Kezski', 879, 'Mulski'),
('Wuvel', 'Mupon', 789, 'Duboff'),
('Sasov', 'Mupon', 920, 'Tamoff'),
('Birak', 'Mupon', 344, 'Pekak'),
('Jupum', 'Zavak', 682, 'Negis'),
('Jutski', 'Kezski', 125, 'Mulski'),
('Nonen', 'Vusel', 219, 'Duboff'),
('Wobis', 'Kezski', 324, 'Negis'),
('Papski', 'Mupon', 564, 'Rekoff'),
('Fover', 'Zavak', 573, 'Rekoff');

CREATE TABLE ovens (page TEXT, lot TEXT, cars INTEGER);
INSERT INTO ovens VALUES
('Duboff', 'Fapov', 794),
('Negis', 'Fapov', 135),
('Mulski', 'Mekic', 927),
('Rekoff', 'Keven', 757),
('Tamoff', 'Mekic', 147),
('Pekak', 'Fapov', 751);

CREATE TABLE rowers (son TEXT, leases INTEGER, dealer TEXT, fort TEXT);
INSERT INTO rowers VALUES
('Takum', 518, 'Kugoff', 'Pilis'),
('Gokoff', 927, 'Seris', 'Vimski'),
('Zamoff', 423, 'Kugoff', 'Pozic'),
('Wevin', 120, 'Kugoff', 'Sofak'),
('Kiton', 931, 'Kugoff', 'Jisic'),
('Yuzum', 438, 'Seris', 'Pozic'),
('Memis', 147, 'Sevak', 'Fesel'),
('Gubel', 175, 'Hudic', 'Pilis'),
('Pizoff', 564, 'Seris', 'Fesel'),
('Bunak', 559, 'Sevak', 'Sofak');

CREATE TABLE lenses (fort TEXT, pilot TEXT, blocks INTEGER);
INSERT INTO lenses VALUES
('Fesel', 'Lanon', 45),
('Pozic', 'Fafak', 972),
('Sofak', 'Woloff', 175),
('Pilis', 'Woloff', 715),
('Vimski', 'Woloff', 789),
('Jisic', 'Lanon', 979);

CREATE TABLE leaders (pilot TEXT, server TEXT, tests INTEGER, trail TEXT);
INSERT INTO leaders VALUES
('Jisak', 'Piboff', 917, 'Fokis'),
('Zazic', 'Vabic', 221, 'Wetoff'),
('Kifoff', 'Jivis', 505, 'Fokis'),
('Sevak', 'Lofon', 183, 'Wetoff'),
('Jezin', 'Lofon', 648, 'Hasov'),
('Heten', 'Lofon', 601, 'Hasov'),
('Sapoff', 'Vabic', 340, 'Halon'),
('Jigon', 'Piboff', 400, 'Lunon'),
('Telel', 'Lofon', 485, 'Rudel'),
('Mabis', 'Vabic', 486, 'Rudel');

CREATE TABLE dolls (trail TEXT, seat TEXT, beats INTEGER);
INSERT INTO dolls VALUES
('Fokis', 'Yabon', 223),
('Rudel', 'Gogis', 210),
('Hasov', 'Gogis', 143),
('Wetoff', 'Porak', 294),
('Lunon', 'Yabon', 619),
('Halon', 'Gogis', 96);

CREATE TABLE cheeses (ranger TEXT, lands INTEGER, route TEXT, ward TEXT);
INSERT INTO cheeses VALUES
('Sivin', 860, 'Rizum', 'Holon'),
('Sikum', 206, 'Bilski', 'Kigis'),
('Ludum', 731, 'Zudic', 'Rudin'),
('Yevov', 430, 'Bilski', 'Kigis'),
('Jukski', 324, 'Rizum', 'Hegum'),
('Fekon', 652, 'Bilski', 'Matov'),
('Koper', 424, 'Goren', 'Holon'),
('Liboff', 171, 'Zudic', 'Rudin'),
('Kidoff', 975, 'Rizum', 'Saten'),
('Gokic', 955, 'Rizum', 'Hegum');

CREATE TABLE bats (ward TEXT, petals INTEGER, agent TEXT);
INSERT INTO bats VALUES
('Kigis', 418, 'Sodov'),
('Holon', 395, 'Lokon'),
('Hegum', 783, 'Sodov'),
('Rudin', 219, 'Kesin'),
('Saten', 801, 'Kesin'),
('Matov', 171, 'Sodov');

CREATE TABLE walls (sign TEXT, colors INTEGER, ranger TEXT, area TEXT);
INSERT INTO walls VALUES
('Kunum', 732, 'Pukis', 'Walski'),
('Bunum', 181, 'Menic', 'Rusak'),
('Salum', 375, 'Pukis', 'Sagen'),
('Nigin', 792, 'Pukis', 'Baric'),
('Biser', 426, 'Dotin', 'Jatski'),
('Ninis', 989, 'Pukis', 'Sagen'),
('Zupis', 406, 'Menic', 'Baric'),
('Jevoff', 430, 'Leton', 'Dibon'),
('Tukski', 104, 'Dotin', 'Jatski'),
('Weron', 394, 'Dotin', 'Dibon');

CREATE TABLE hostels (area TEXT, reserve INTEGER, name TEXT);
INSERT INTO hostels VALUES
('Dibon', 846, 'Niven'),
('Jatski', 790, 'Dabon'),
('Baric', 621, 'Lekoff'),
('Sagen', 954, 'Dabon'),
('Walski', 406, 'Lekoff'),
('Rusak', 210, 'Lekoff');

CREATE TABLE moths (room TEXT, ropes INTEGER, plant TEXT, crop TEXT);
INSERT INTO moths VALUES
('Havis', 491, 'Humel', 'Livel'),
('Hegel', 361, 'Humel', 'Damski'),
('Minum', 695, 'Yonoff', 'Dulis'),
('Zogic', 519, 'Humel', 'Jimov'),
('Gekum', 239, 'Vagic', 'Pogen'),
('Kibel', 480, 'Yonoff', 'Dulis'),
('Lizski', 294, 'Humel', 'Bofer'),
('Gamer', 220, 'Moken', 'Pogen'),
('Yutak', 363, 'Moken', 'Livel'),
('Foken', 471, 'Yonoff', 'Damski');

CREATE TABLE trains (crop TEXT, sounds INTEGER, route TEXT);
INSERT INTO trains VALUES
('Dulis', 393, 'Gubel'),
('Damski', 919, 'Jutov'),
('Livel', 805, 'Jutov'),
('Pogen', 559, 'Gitak'),
('Bofer', 582, 'Gubel'),
('Jimov', 68, 'Gubel');
