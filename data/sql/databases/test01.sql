CREATE TABLE cheeses (goal TEXT, goals INTEGER, trail TEXT, morale TEXT);
INSERT INTO cheeses VALUES
('Kogic', 634, 'Nibov', 'Jevon'),
('Puden', 193, 'Helin', 'Nudov'),
('Zizen', 571, 'Helin', 'Nudov'),
('Rikin', 213, 'Helin', 'Goven'),
('Datin', 679, 'Podum', 'Jonis'),
('Jider', 415, 'Nibov', 'Jevon'),
('Lotum', 164, 'Helin', 'Goven'),
('Lomen', 424, 'Norel', 'Roder'),
('Nikoff', 527, 'Norel', 'Jonis'),
('Tekov', 661, 'Nibov', 'Gakis');

CREATE TABLE pets (morale TEXT, genus TEXT, cars INTEGER);
INSERT INTO pets VALUES
('Goven', 'Pazoff', 107),
('Jonis', 'Sodin', 239),
('Nudov', 'Badum', 751),
('Jevon', 'Badum', 560),
('Gakis', 'Pazoff', 375),
('Roder', 'Pazoff', 868);

CREATE TABLE plants (pilot TEXT, crates INTEGER, leader TEXT, morale TEXT);
INSERT INTO plants VALUES
('Yuvin', 757, 'Jogak', 'Yokis'),
('Bazon', 540, 'Jogak', 'Sozski'),
('Fufen', 26, 'Zikoff', 'Sapoff'),
('Sosis', 223, 'Zikoff', 'Vazin'),
('Dizov', 813, 'Jezum', 'Zerov'),
('Jukski', 119, 'Jezum', 'Zerov'),
('Fifoff', 190, 'Tesum', 'Sapoff'),
('Jetum', 805, 'Jezum', 'Vazin'),
('Punum', 631, 'Jezum', 'Komer'),
('Jolel', 489, 'Jogak', 'Yokis');

CREATE TABLE plays (morale TEXT, mass INTEGER, ace TEXT);
INSERT INTO plays VALUES
('Vazin', 911, 'River'),
('Zerov', 277, 'Jopon'),
('Yokis', 861, 'Jopon'),
('Sapoff', 922, 'Fizon'),
('Komer', 880, 'River'),
('Sozski', 324, 'River');

CREATE TABLE houses (route TEXT, dance TEXT, flowers INTEGER, ranger TEXT);
INSERT INTO houses VALUES
('Momel', 'Favic', 880, 'Yabis'),
('Dadis', 'Pobov', 691, 'Yabis'),
('Tukski', 'Favic', 550, 'Rabum'),
('Yizum', 'Pobov', 326, 'Gurum'),
('Doven', 'Kinski', 175, 'Zonic'),
('Nofon', 'Favic', 621, 'Gurum'),
('Fidski', 'Pobov', 955, 'Kenski'),
('Nuzoff', 'Pobov', 741, 'Yolel'),
('Pisov', 'Ponen', 201, 'Kenski'),
('Giten', 'Ponen', 352, 'Yolel');

CREATE TABLE ants (ranger TEXT, colors INTEGER, morale TEXT);
INSERT INTO ants VALUES
('Yolel', 564, 'Widin'),
('Gurum', 764, 'Fudov'),
('Yabis', 328, 'Fudov'),
('Kenski', 423, 'Fudov'),
('Rabum', 315, 'Tafak'),
('Zonic', 285, 'Widin');

CREATE TABLE bards (officer TEXT, cracks INTEGER, trainer TEXT, town TEXT);
INSERT INTO bards VALUES
('Gipel', 532, 'Ribon', 'Bovov'),
('Yiber', 38, 'Legin', 'Puzon'),
('Sifon', 301, 'Zavak', 'Retin'),
('Kiner', 33, 'Ribon', 'Nubski'),
('Gelic', 181, 'Legin', 'Ketoff'),
('Yumel', 370, 'Legin', 'Ketoff'),
('Valel', 731, 'Zavak', 'Bovov'),
('Diren', 183, 'Ribon', 'Puzon'),
('Rivov', 879, 'Zitum', 'Vufak'),
('Kolen', 176, 'Legin', 'Nubski');

CREATE TABLE walls (town TEXT, dealer TEXT, crates INTEGER);
INSERT INTO walls VALUES
('Bovov', 'Hinak', 979),
('Puzon', 'Hinak', 715),
('Nubski', 'Yasel', 156),
('Ketoff', 'Melum', 596),
('Retin', 'Hinak', 314),
('Vufak', 'Melum', 489);

CREATE TABLE dolls (lot TEXT, wing TEXT, finds INTEGER, reader TEXT);
INSERT INTO dolls VALUES
('Sarum', 'Mogel', 751, 'Viven'),
('Zerov', 'Yodum', 341, 'Regis'),
('Tesoff', 'Kisoff', 979, 'Jagum'),
('Givski', 'Yodum', 630, 'Guzov'),
('Pemak', 'Kisoff', 104, 'Jagum'),
('Zezski', 'Godic', 33, 'Viven'),
('Zirum', 'Yodum', 601, 'Guzov'),
('Woder', 'Kisoff', 931, 'Gofic'),
('Rozon', 'Yodum', 119, 'Tisski'),
('Wivel', 'Mogel', 783, 'Gofic');

CREATE TABLE alarms (reader TEXT, fort TEXT, lanes INTEGER);
INSERT INTO alarms VALUES
('Viven', 'Buken', 438),
('Guzov', 'Sinum', 446),
('Gofic', 'Buken', 213),
('Jagum', 'Buken', 551),
('Tisski', 'Sinum', 976),
('Regis', 'Watoff', 789);

CREATE TABLE leaders (ace TEXT, logs INTEGER, hall TEXT, beach TEXT);
INSERT INTO leaders VALUES
('Fivoff', 972, 'Damov', 'Japoff'),
('Beben', 564, 'Hibic', 'Tudel'),
('Vuten', 346, 'Jiger', 'Ridum'),
('Nemel', 104, 'Hibic', 'Muvak'),
('Ruten', 627, 'Jiger', 'Nofis'),
('Bobski', 886, 'Damov', 'Muvak'),
('Jekis', 920, 'Jeroff', 'Tudel'),
('Liron', 491, 'Jiger', 'Tikic'),
('Husski', 751, 'Jiger', 'Japoff'),
('Tuzum', 880, 'Damov', 'Nofis');

CREATE TABLE salads (beach TEXT, hearts INTEGER, scent TEXT);
INSERT INTO salads VALUES
('Nofis', 880, 'Legak'),
('Muvak', 83, 'Veroff'),
('Tudel', 769, 'Veroff'),
('Japoff', 400, 'Sedic'),
('Tikic', 107, 'Sedic'),
('Ridum', 686, 'Veroff');

CREATE TABLE arenas (inn TEXT, arena TEXT, keys INTEGER, pond TEXT);
INSERT INTO arenas VALUES
('Sukis', 'Zekak', 595, 'Dimin'),
('Baric', 'Zekak', 627, 'Lokel'),
('Jotic', 'Dapel', 189, 'Rirel'),
('Zafel', 'Dinon', 285, 'Hugum'),
('Harov', 'Zekak', 68, 'Dunel'),
('Yizer', 'Sebel', 367, 'Dunel'),
('Gavin', 'Sebel', 764, 'Hugum'),
('Nenel', 'Sebel', 333, 'Yibov'),
('Vunon', 'Zekak', 917, 'Rirel'),
('Futak', 'Dinon', 303, 'Yibov');

CREATE TABLE courses (pond TEXT, shots INTEGER, house TEXT);
INSERT INTO courses VALUES
('Dunel', 569, 'Zukis'),
('Yibov', 858, 'Mozis'),
('Rirel', 883, 'Zukis'),
('Hugum', 393, 'Zukis'),
('Dimin', 805, 'Rezer'),
('Lokel', 418, 'Rezer');

CREATE TABLE tents (quest TEXT, lands INTEGER, stream TEXT, park TEXT);
INSERT INTO tents VALUES
('Bafoff', 135, 'Menoff', 'Pugski'),
('Bonoff', 938, 'Rudak', 'Pugski'),
('Luvoff', 292, 'Rudak', 'Yudel'),
('Ribel', 880, 'Yasis', 'Zovel'),
('Berin', 542, 'Yasis', 'Yudel'),
('Naben', 790, 'Felum', 'Zovel'),
('Sirak', 104, 'Rudak', 'Zoboff'),
('Werel', 924, 'Menoff', 'Jefski'),
('Zugak', 503, 'Menoff', 'Weter'),
('Zotin', 652, 'Menoff', 'Zoboff');

CREATE TABLE bats (park TEXT, trade TEXT, fines INTEGER);
INSERT INTO bats VALUES
('Yudel', 'Kebel', 111),
('Zoboff', 'Ruten', 733),
('Zovel', 'Sigski', 928),
('Pugski', 'Kebel', 438),
('Weter', 'Kebel', 710),
('Jefski', 'Sigski', 125);

CREATE TABLE rivers (dance TEXT, lender TEXT, rent INTEGER, scent TEXT);
INSERT INTO rivers VALUES
('Bofer', 'Vetak', 919, 'Fovis'),
('Dolak', 'Husak', 351, 'Hogoff'),
('Togak', 'Nonin', 593, 'Rosen'),
('Yazum', 'Wovis', 718, 'Rosen'),
('Pevon', 'Nonin', 104, 'Hofic'),
('Basen', 'Vetak', 518, 'Zaric'),
('Pibak', 'Nonin', 558, 'Hogoff'),
('Lesen', 'Nonin', 512, 'Gugon'),
('Garon', 'Husak', 975, 'Gugon'),
('Vugel', 'Husak', 26, 'Fovis');

CREATE TABLE stands (scent TEXT, states INTEGER, motel TEXT);
INSERT INTO stands VALUES
('Hogoff', 813, 'Vilin'),
('Rosen', 746, 'Vilin'),
('Fovis', 527, 'Vilin'),
('Gugon', 201, 'Punis'),
('Hofic', 514, 'Donoff'),
('Zaric', 393, 'Donoff');

CREATE TABLE planes (wing TEXT, officer TEXT, lots INTEGER, stream TEXT);
INSERT INTO planes VALUES
('Jopak', 'Gagoff', 942, 'Gugum'),
('Roter', 'Lalon', 883, 'Bogon'),
('Hoson', 'Buzen', 324, 'Gugum'),
('Yutel', 'Lalon', 681, 'Luder'),
('Buvic', 'Lalon', 705, 'Zepum'),
('Vipic', 'Pubis', 375, 'Zepum'),
('Furer', 'Pubis', 912, 'Bogon'),
('Pisak', 'Buzen', 487, 'Luder'),
('Jutov', 'Buzen', 395, 'Bufoff'),
('Gupak', 'Buzen', 648, 'Memer');

CREATE TABLE estates (stream TEXT, lender TEXT, cents INTEGER);
INSERT INTO estates VALUES
('Bogon', 'Fodic', 817),
('Gugum', 'Matic', 769),
('Zepum', 'Fodic', 394),
('Luder', 'Dedon', 338),
('Bufoff', 'Fodic', 263),
('Memer', 'Matic', 339);

CREATE TABLE malls (mother TEXT, lad TEXT, fines INTEGER, verse TEXT);
INSERT INTO malls VALUES
('Pagov', 'Jefum', 399, 'Mulski'),
('Fafak', 'Wisski', 954, 'Huser'),
('Zoren', 'Nofis', 747, 'Yefer'),
('Mezoff', 'Nofis', 83, 'Zerin'),
('Tofin', 'Nepin', 665, 'Gepic'),
('Pegov', 'Nofis', 848, 'Gepic'),
('Bopski', 'Nepin', 564, 'Yefer'),
('Ponon', 'Nofis', 817, 'Gorski'),
('Birak', 'Jefum', 233, 'Gorski'),
('Nimis', 'Nepin', 500, 'Mulski');

CREATE TABLE dancers (verse TEXT, cases INTEGER, rose TEXT);
INSERT INTO dancers VALUES
('Gorski', 508, 'Lagoff'),
('Mulski', 741, 'Tavon'),
('Yefer', 418, 'Jasum'),
('Gepic', 344, 'Lagoff'),
('Zerin', 942, 'Tavon'),
('Huser', 143, 'Lagoff');

CREATE TABLE ports (sailor TEXT, crew TEXT, overs INTEGER, dock TEXT);
INSERT INTO ports VALUES
('Gelic', 'Keboff', 511, 'Mimen'),
('Mozel', 'Keboff', 344, 'Rizer'),
('Nuzum', 'Jikon', 881, 'Kebis'),
('Kizer', 'Keboff', 503, 'Mimen'),
('Bosov', 'Nagum', 797, 'Jekum'),
('Hover', 'Keboff', 395, 'Jekum'),
('Pibel', 'Zulon', 233, 'Kozel'),
('Mefen', 'Zulon', 550, 'Kozel'),
('Konum', 'Zulon', 562, 'Pikov'),
('Yazon', 'Nagum', 509, 'Pikov');

CREATE TABLE trains (dock TEXT, ropes INTEGER, officer TEXT);
INSERT INTO trains VALUES
('Jekum', 321, 'Movum'),
('Kozel', 757, 'Movum'),
('Pikov', 547, 'Dobski'),
('Mimen', 220, 'Dobski'),
('Rizer', 751, 'Dezel'),
('Kebis', 799, 'Movum');

CREATE TABLE winners (agent TEXT, suit TEXT, states INTEGER, scent TEXT);
INSERT INTO winners VALUES
('Yagoff', 'Pulak', 350, 'Pukak'),
('Lemer', 'Higon', 519, 'Pukak'),
('Tuvic', 'Daker', 729, 'Hikic'),
('Vuzel', 'Higon', 715, 'Valer'),
('Desum', 'Daker', 515, 'Wekin'),
('Vifin', 'Higon', 399, 'Pegoff'),
('Nikski', 'Pulak', 393, 'Hikic'),
('Hutski', 'Pulak', 868, 'Pegoff'),
('Wagel', 'Pulak', 922, 'Wekin'),
('Buvoff', 'Yegon', 772, 'Buzic');

CREATE TABLE ovens (scent TEXT, ropes INTEGER, trainer TEXT);
INSERT INTO ovens VALUES
('Pegoff', 901, 'Wonis'),
('Pukak', 831, 'Wonis'),
('Hikic', 866, 'Viten'),
('Wekin', 40, 'Viten'),
('Valer', 751, 'Beder'),
('Buzic', 160, 'Wonis');

CREATE TABLE rats (crew TEXT, pots INTEGER, lender TEXT, star TEXT);
INSERT INTO rats VALUES
('Fumov', 587, 'Sofel', 'Pozak'),
('Luric', 789, 'Lopum', 'Livon'),
('Panel', 487, 'Ditic', 'Vadic'),
('Digis', 577, 'Lopum', 'Pozak'),
('Mozen', 979, 'Ditic', 'Yudski'),
('Gufak', 522, 'Waler', 'Yudski'),
('Fover', 346, 'Lopum', 'Wemer'),
('Kozel', 426, 'Sofel', 'Bovov'),
('Vekoff', 352, 'Ditic', 'Bovov'),
('Gasin', 45, 'Ditic', 'Wemer');

CREATE TABLE bears (star TEXT, land TEXT, carts INTEGER);
INSERT INTO bears VALUES
('Yudski', 'Wadis', 827),
('Pozak', 'Yumel', 120),
('Wemer', 'Wadis', 784),
('Bovov', 'Wadis', 955),
('Livon', 'Yumel', 301),
('Vadic', 'Tugov', 715);

CREATE TABLE stars (street TEXT, cracks INTEGER, lane TEXT, morale TEXT);
INSERT INTO stars VALUES
('Neben', 12, 'Hekski', 'Zaler'),
('Kidoff', 301, 'Vutin', 'Rupov'),
('Hesum', 489, 'Vutin', 'Mipis'),
('Lafer', 865, 'Hekski', 'Divski'),
('Pison', 212, 'Senski', 'Yolski'),
('Wekel', 655, 'Senski', 'Zaler'),
('Duten', 621, 'Vutin', 'Rupov'),
('Keken', 613, 'Senski', 'Zizen'),
('Jilak', 705, 'Senski', 'Yolski'),
('Dibon', 738, 'Pizin', 'Divski');

CREATE TABLE parks (morale TEXT, overs INTEGER, era TEXT);
INSERT INTO parks VALUES
('Yolski', 587, 'Dukov'),
('Zaler', 883, 'Yiter'),
('Divski', 619, 'Boris'),
('Rupov', 974, 'Dukov'),
('Zizen', 400, 'Boris'),
('Mipis', 117, 'Dukov');

CREATE TABLE collars (street TEXT, actor TEXT, rains INTEGER, dance TEXT);
INSERT INTO collars VALUES
('Tesis', 'Rezis', 223, 'Nakon'),
('Bunic', 'Jutski', 931, 'Tekov'),
('Lufov', 'Rezis', 881, 'Nabic'),
('Rabov', 'Lunon', 350, 'Wepov'),
('Zofis', 'Yisel', 213, 'Kubis'),
('Hobis', 'Lunon', 83, 'Nakon'),
('Fasoff', 'Rezis', 883, 'Wepov'),
('Rezer', 'Jutski', 587, 'Tekov'),
('Jidski', 'Jutski', 53, 'Motov'),
('Lekic', 'Jutski', 14, 'Motov');

CREATE TABLE trips (dance TEXT, rate INTEGER, hall TEXT);
INSERT INTO trips VALUES
('Motov', 426, 'Yotel'),
('Wepov', 741, 'Gepic'),
('Tekov', 180, 'Vimon'),
('Nakon', 634, 'Yotel'),
('Kubis', 314, 'Yotel'),
('Nabic', 652, 'Vimon');

CREATE TABLE domes (general TEXT, plant TEXT, boots INTEGER, opera TEXT);
INSERT INTO domes VALUES
('Yonis', 'Vufov', 71, 'Dalum'),
('Tamin', 'Vufov', 906, 'Dosis'),
('Lafic', 'Zavoff', 974, 'Voper'),
('Gific', 'Huker', 881, 'Nikoff'),
('Menak', 'Zavoff', 390, 'Gilic'),
('Potis', 'Huker', 679, 'Gilic'),
('Bezum', 'Huker', 542, 'Dosis'),
('Tomel', 'Vufov', 803, 'Zepen'),
('Gizov', 'Ginski', 480, 'Nikoff'),
('Kutin', 'Huker', 725, 'Voper');

CREATE TABLE rowers (opera TEXT, tracks INTEGER, ranger TEXT);
INSERT INTO rowers VALUES
('Voper', 233, 'Pulum'),
('Dosis', 569, 'Pulum'),
('Gilic', 865, 'Holon'),
('Nikoff', 652, 'Holon'),
('Dalum', 512, 'Holon'),
('Zepen', 722, 'Karel');

CREATE TABLE spices (book TEXT, hooks INTEGER, state TEXT, river TEXT);
INSERT INTO spices VALUES
('Madum', 679, 'Jasum', 'Wunon'),
('Kepoff', 817, 'Jasum', 'Ponon'),
('Dogoff', 119, 'Janer', 'Wunon'),
('Yeten', 363, 'Janer', 'Ponon'),
('Dizov', 911, 'Janer', 'Ripis'),
('Sakski', 927, 'Dasic', 'Dubic'),
('Japis', 211, 'Yenis', 'Fusin'),
('Pumov', 975, 'Jasum', 'Fusin'),
('Beloff', 883, 'Janer', 'Ripis'),
('Roton', 111, 'Yenis', 'Vabic');

CREATE TABLE agents (river TEXT, dance TEXT, leases INTEGER);
INSERT INTO agents VALUES
('Wunon', 'Riten', 96),
('Fusin', 'Yirak', 83),
('Ripis', 'Yirak', 598),
('Ponon', 'Yirak', 920),
('Vabic', 'Piton', 111),
('Dubic', 'Piton', 491);

CREATE TABLE masters (shape TEXT, rider TEXT, parts INTEGER, master TEXT);
INSERT INTO masters VALUES
('Lozer', 'Zuper', 683, 'Peter'),
('Mizum', 'Dumoff', 974, 'Gebov'),
('Lider', 'Dumoff', 661, 'Gidak'),
('Dagen', 'Zuper', 920, 'Gilic'),
('Somel', 'Jaber', 906, 'Gebov'),
('Palum', 'Zuper', 53, 'Karin'),
('Degoff', 'Jaber', 183, 'Podon'),
('Piben', 'Povov', 784, 'Gidak'),
('Pubic', 'Jaber', 901, 'Gilic'),
('Fufen', 'Jaber', 813, 'Podon');

CREATE TABLE crops (master TEXT, base TEXT, heat INTEGER);
INSERT INTO crops VALUES
('Gidak', 'Wifis', 791),
('Gebov', 'Domin', 693),
('Gilic', 'Wifis', 15),
('Podon', 'Wifis', 340),
('Peter', 'Domin', 193),
('Karin', 'Kedak', 221);

CREATE TABLE strands (hotel TEXT, band TEXT, sites INTEGER, crew TEXT);
INSERT INTO strands VALUES
('Bofen', 'Nudov', 550, 'Jonon'),
('Levski', 'Bolon', 772, 'Yavov'),
('Nepel', 'Bolon', 931, 'Bobski'),
('Pafov', 'Garon', 181, 'Yavov'),
('Worin', 'Mopic', 624, 'Bobski'),
('Deloff', 'Mopic', 393, 'Reger'),
('Misski', 'Bolon', 411, 'Homic'),
('Nepum', 'Bolon', 813, 'Jonon'),
('Dufel', 'Nudov', 803, 'Vivski'),
('Gogak', 'Mopic', 400, 'Homic');

CREATE TABLE cooks (crew TEXT, form TEXT, tracks INTEGER);
INSERT INTO cooks VALUES
('Yavov', 'Lufoff', 211),
('Jonon', 'Lufoff', 489),
('Homic', 'Lufoff', 277),
('Bobski', 'Vufon', 738),
('Reger', 'Koron', 901),
('Vivski', 'Koron', 551);
