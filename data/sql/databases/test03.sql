CREATE TABLE brands (farm TEXT, base TEXT, sites INTEGER, sign TEXT);
INSERT INTO brands VALUES
('Tubel', 'Povak', 326, 'Nubis'),
('Gipoff', 'Savon', 629, 'Yamer'),
('Tavon', 'Rekis', 431, 'Timel'),
('Tizis', 'Rekis', 352, 'Dogoff'),
('Tugon', 'Povak', 890, 'Pipon'),
('Dogoff', 'Yukoff', 350, 'Nubis'),
('Visic', 'Savon', 351, 'Dogoff'),
('Hubski', 'Povak', 220, 'Timel'),
('Nudoff', 'Savon', 769, 'Zadoff'),
('Hozov', 'Povak', 415, 'Yamer');

CREATE TABLE moths (sign TEXT, ace TEXT, plans INTEGER);
INSERT INTO moths VALUES
('Dogoff', 'Niver', 779),
('Yamer', 'Niver', 923),
('Nubis', 'Niver', 780),
('Timel', 'Guter', 292),
('Zadoff', 'Guter', 352),
('Pipon', 'Yefski', 801);

CREATE TABLE kings (officer TEXT, feeds INTEGER, host TEXT, ring TEXT);
INSERT INTO kings VALUES
('Seron', 727, 'Fimoff', 'Rener'),
('Zisski', 621, 'Lagoff', 'Rezer'),
('Yeron', 71, 'Fimoff', 'Yikin'),
('Sosoff', 560, 'Tifon', 'Rener'),
('Yerak', 859, 'Fimoff', 'Muvis'),
('Robin', 406, 'Lagoff', 'Jitis'),
('Yubski', 509, 'Bovov', 'Jitis'),
('Yuvski', 648, 'Fimoff', 'Muvis'),
('Zesen', 155, 'Bovov', 'Gabski'),
('Hosoff', 491, 'Lagoff', 'Gabski');

CREATE TABLE gangs (ring TEXT, ropes INTEGER, rower TEXT);
INSERT INTO gangs VALUES
('Muvis', 239, 'Setoff'),
('Jitis', 972, 'Gekon'),
('Gabski', 979, 'Wamak'),
('Rener', 117, 'Wamak'),
('Rezer', 393, 'Wamak'),
('Yikin', 155, 'Setoff');

CREATE TABLE arenas (ranger TEXT, hosts INTEGER, dealer TEXT, king TEXT);
INSERT INTO arenas VALUES
('Mamum', 292, 'Kedis', 'Ramer'),
('Safov', 192, 'Viten', 'Yizin'),
('Lolel', 794, 'Viten', 'Pozen'),
('Kidoff', 511, 'Viten', 'Ramer'),
('Wivoff', 519, 'Wefin', 'Hidoff'),
('Teten', 428, 'Wefin', 'Hidoff'),
('Wedic', 558, 'Wefin', 'Rozak'),
('Kosum', 71, 'Viten', 'Pozen'),
('Zafis', 298, 'Jopel', 'Bifak'),
('Jedin', 715, 'Kedis', 'Rozak');

CREATE TABLE wards (king TEXT, spice TEXT, stains INTEGER);
INSERT INTO wards VALUES
('Rozak', 'Sabin', 471),
('Ramer', 'Puzon', 143),
('Hidoff', 'Mogski', 68),
('Pozen', 'Puzon', 866),
('Yizin', 'Puzon', 45),
('Bifak', 'Sabin', 975);

CREATE TABLE singers (lane TEXT, masts INTEGER, fort TEXT, reader TEXT);
INSERT INTO singers VALUES
('Livum', 497, 'Duron', 'Vidon'),
('Moler', 514, 'Duron', 'Jeloff'),
('Pobov', 268, 'Duron', 'Mipak'),
('Jinen', 350, 'Duron', 'Latel'),
('Ninis', 931, 'Datin', 'Latel'),
('Mezel', 239, 'Zoren', 'Mipak'),
('Sefon', 920, 'Werel', 'Dosis'),
('Sezen', 487, 'Datin', 'Dosis'),
('Lekum', 919, 'Zoren', 'Vidon'),
('Hibum', 582, 'Datin', 'Puroff');

CREATE TABLE stones (reader TEXT, server TEXT, heat INTEGER);
INSERT INTO stones VALUES
('Dosis', 'Honum', 487),
('Mipak', 'Honum', 428),
('Latel', 'Zepon', 489),
('Vidon', 'Dezen', 248),
('Puroff', 'Dezen', 98),
('Jeloff', 'Honum', 321);

CREATE TABLE rulers (book TEXT, honors INTEGER, rower TEXT, area TEXT);
INSERT INTO rulers VALUES
('Nadin', 315, 'Kugon', 'Boler'),
('Vonic', 624, 'Fofoff', 'Libon'),
('Woser', 619, 'Milon', 'Libon'),
('Jokis', 727, 'Milon', 'Gemic'),
('Nofen', 12, 'Milon', 'Tofon'),
('Wozov', 471, 'Kugon', 'Boler'),
('Zebak', 499, 'Jirov', 'Tofon'),
('Pafov', 739, 'Kugon', 'Kokin'),
('Yisoff', 691, 'Fofoff', 'Gemic'),
('Maven', 524, 'Milon', 'Romic');

CREATE TABLE leaders (area TEXT, farm TEXT, plans INTEGER);
INSERT INTO leaders VALUES
('Libon', 'Rusin', 524),
('Gemic', 'Dedis', 207),
('Tofon', 'Dedis', 540),
('Boler', 'Nudski', 679),
('Romic', 'Rusin', 292),
('Kokin', 'Dedis', 390);

CREATE TABLE corals (opera TEXT, trainer TEXT, plans INTEGER, potter TEXT);
INSERT INTO corals VALUES
('Renin', 'Nivis', 471, 'Yuvel'),
('Mamel', 'Gomak', 294, 'Mabis'),
('Viten', 'Lakis', 692, 'Sezski'),
('Hadov', 'Lakis', 119, 'Gubel'),
('Rebis', 'Sokum', 121, 'Gubel'),
('Firic', 'Gomak', 648, 'Sezski'),
('Samoff', 'Sokum', 83, 'Zadov'),
('Lolel', 'Lakis', 938, 'Yuvel'),
('Hener', 'Sokum', 420, 'Hobov'),
('Ravski', 'Lakis', 512, 'Zadov');

CREATE TABLE hostels (potter TEXT, colors INTEGER, scent TEXT);
INSERT INTO hostels VALUES
('Sezski', 547, 'Kukoff'),
('Gubel', 911, 'Weden'),
('Yuvel', 333, 'Kukoff'),
('Zadov', 125, 'Vegum'),
('Hobov', 567, 'Kukoff'),
('Mabis', 512, 'Weden');

CREATE TABLE walls (storm TEXT, shots INTEGER, grain TEXT, house TEXT);
INSERT INTO walls VALUES
('Fiser', 96, 'Vezel', 'Hasov'),
('Vulis', 631, 'Vezel', 'Ritov'),
('Wudoff', 732, 'Nefen', 'Zokis'),
('Gadov', 733, 'Vezel', 'Sevoff'),
('Hakon', 399, 'Nefen', 'Hasov'),
('Dipoff', 285, 'Binski', 'Kemin'),
('Ripis', 630, 'Yigen', 'Sevoff'),
('Dadis', 514, 'Yigen', 'Bubski'),
('Hofis', 193, 'Vezel', 'Ritov'),
('Kunic', 577, 'Nefen', 'Bubski');

CREATE TABLE trains (house TEXT, crop TEXT, sites INTEGER);
INSERT INTO trains VALUES
('Hasov', 'Tisin', 691),
('Bubski', 'Guris', 682),
('Ritov', 'Tisin', 363),
('Sevoff', 'Guris', 601),
('Zokis', 'Sizum', 211),
('Kemin', 'Tisin', 248);

CREATE TABLE ports (era TEXT, charm INTEGER, route TEXT, crest TEXT);
INSERT INTO ports VALUES
('Wupak', 780, 'Sogel', 'Rudel'),
('Getin', 705, 'Honen', 'Lalski'),
('Tikski', 509, 'Sogel', 'Doven'),
('Holel', 206, 'Hutel', 'Zigoff'),
('Dusin', 718, 'Sogel', 'Lalski'),
('Rabum', 12, 'Hutel', 'Zigoff'),
('Hurski', 634, 'Hutel', 'Resic'),
('Pusic', 923, 'Hutel', 'Resic'),
('Hiker', 511, 'Lezer', 'Zukon'),
('Mobin', 631, 'Lezer', 'Zukon');

CREATE TABLE grapes (crest TEXT, creator TEXT, goals INTEGER);
INSERT INTO grapes VALUES
('Zigoff', 'Dazak', 38),
('Zukon', 'Fipis', 26),
('Lalski', 'Fipis', 738),
('Resic', 'Dazak', 928),
('Rudel', 'Dazak', 339),
('Doven', 'Nisen', 769);

CREATE TABLE bears (officer TEXT, image TEXT, rent INTEGER, son TEXT);
INSERT INTO bears VALUES
('Yutak', 'Gific', 509, 'Renin'),
('Tubel', 'Penel', 40, 'Vosov'),
('Wuten', 'Penel', 365, 'Vamin'),
('Seron', 'Penel', 415, 'Mizin'),
('Daker', 'Jazel', 733, 'Didin'),
('Kirum', 'Gific', 866, 'Renin'),
('Pebov', 'Tulski', 352, 'Nelic'),
('Zaser', 'Jazel', 206, 'Nelic'),
('Yokis', 'Jazel', 729, 'Didin'),
('Jasov', 'Penel', 500, 'Mizin');

CREATE TABLE pears (son TEXT, genus TEXT, lands INTEGER);
INSERT INTO pears VALUES
('Didin', 'Koric', 17),
('Nelic', 'Fonin', 573),
('Renin', 'Fonin', 111),
('Mizin', 'Rofen', 715),
('Vosov', 'Koric', 522),
('Vamin', 'Fonin', 559);

CREATE TABLE cats (crest TEXT, actor TEXT, ratio INTEGER, past TEXT);
INSERT INTO cats VALUES
('Somel', 'Keson', 207, 'Nozon'),
('Felski', 'Dubic', 751, 'Tuzis'),
('Zisis', 'Keson', 731, 'Vekski'),
('Fagel', 'Dubic', 532, 'Haric'),
('Hurak', 'Bemum', 912, 'Nozon'),
('Hatic', 'Dubic', 511, 'Gokoff'),
('Gopum', 'Gefak', 514, 'Tuzis'),
('Witski', 'Gefak', 356, 'Vozov'),
('Pugak', 'Dubic', 886, 'Gokoff'),
('Pefov', 'Gefak', 508, 'Vozov');

CREATE TABLE plants (past TEXT, pens INTEGER, rider TEXT);
INSERT INTO plants VALUES
('Tuzis', 805, 'Hener'),
('Vozov', 890, 'Hener'),
('Gokoff', 550, 'Takum'),
('Nozon', 732, 'Hener'),
('Haric', 705, 'Herov'),
('Vekski', 346, 'Takum');

CREATE TABLE winners (lead TEXT, cases INTEGER, band TEXT, mother TEXT);
INSERT INTO winners VALUES
('Fofen', 693, 'Lesen', 'Detoff'),
('Niver', 219, 'Lesen', 'Vanum'),
('Jifski', 881, 'Lesen', 'Momak'),
('Tarin', 908, 'Nemel', 'Dazis'),
('Wifoff', 324, 'Mebov', 'Momak'),
('Wuten', 45, 'Putoff', 'Wulis'),
('Rusak', 450, 'Lesen', 'Visic'),
('Tonoff', 485, 'Putoff', 'Vanum'),
('Sanic', 598, 'Putoff', 'Detoff'),
('Lalski', 393, 'Nemel', 'Visic');

CREATE TABLE wines (mother TEXT, ratio INTEGER, base TEXT);
INSERT INTO wines VALUES
('Vanum', 406, 'Dogen'),
('Visic', 540, 'Duber'),
('Momak', 263, 'Duber'),
('Detoff', 326, 'Hukon'),
('Wulis', 375, 'Dogen'),
('Dazis', 301, 'Dogen');

CREATE TABLE races (scent TEXT, feeds INTEGER, booker TEXT, storm TEXT);
INSERT INTO races VALUES
('Pokon', 846, 'Dikin', 'Ginic'),
('Susel', 277, 'Jibon', 'Ginic'),
('Yonon', 111, 'Sezen', 'Vekski'),
('Nugski', 540, 'Dikin', 'Zifin'),
('Janak', 156, 'Gavis', 'Niton'),
('Fegon', 428, 'Sezen', 'Niton'),
('Ruton', 801, 'Jibon', 'Hokak'),
('Moler', 629, 'Dikin', 'Liron'),
('Durel', 431, 'Dikin', 'Hokak'),
('Feven', 532, 'Sezen', 'Zifin');

CREATE TABLE rowers (storm TEXT, paths INTEGER, crop TEXT);
INSERT INTO rowers VALUES
('Hokak', 866, 'Dunon'),
('Zifin', 104, 'Mepski'),
('Ginic', 38, 'Mepski'),
('Niton', 589, 'Kusic'),
('Liron', 402, 'Kusic'),
('Vekski', 26, 'Kusic');

CREATE TABLE crows (wing TEXT, ring TEXT, heads INTEGER, farm TEXT);
INSERT INTO crows VALUES
('Kibis', 'Hupel', 228, 'Motov'),
('Hibum', 'Forak', 365, 'Motov'),
('Fomov', 'Hupel', 866, 'Dinel'),
('Gokic', 'Sogel', 858, 'Voben'),
('Zudel', 'Forak', 508, 'Wezov'),
('Vusel', 'Sogel', 976, 'Dinel'),
('Tiper', 'Hupel', 53, 'Kimum'),
('Katak', 'Forak', 461, 'Wezov'),
('Vuvov', 'Hupel', 359, 'Jobov'),
('Tepum', 'Ludel', 522, 'Voben');

CREATE TABLE cooks (farm TEXT, hearts INTEGER, agent TEXT);
INSERT INTO cooks VALUES
('Motov', 600, 'Sapoff'),
('Voben', 263, 'Sarer'),
('Wezov', 848, 'Sapoff'),
('Dinel', 277, 'Befski'),
('Kimum', 268, 'Sapoff'),
('Jobov', 715, 'Befski');

CREATE TABLE pets (card TEXT, general TEXT, lanes INTEGER, reason TEXT);
INSERT INTO pets VALUES
('Jafel', 'Tarum', 143, 'Tinin'),
('Temum', 'Bulak', 428, 'Tinin'),
('Pedin', 'Bulak', 135, 'Vosoff'),
('Zafski', 'Kegov', 715, 'Zasis'),
('Soner', 'Kegov', 343, 'Sonis'),
('Hibic', 'Kegov', 18, 'Vosoff'),
('Mufak', 'Tarum', 858, 'Zasis'),
('Munen', 'Tarum', 540, 'Bagen'),
('Zabak', 'Pugoff', 634, 'Bagen'),
('Ruton', 'Kegov', 423, 'Sumum');

CREATE TABLE domes (reason TEXT, reserve INTEGER, pilot TEXT);
INSERT INTO domes VALUES
('Zasis', 577, 'Sivic'),
('Tinin', 40, 'Wamoff'),
('Bagen', 68, 'Wenen'),
('Vosoff', 361, 'Wenen'),
('Sonis', 573, 'Sivic'),
('Sumum', 176, 'Sivic');

CREATE TABLE wings (base TEXT, mail TEXT, rank INTEGER, lender TEXT);
INSERT INTO wings VALUES
('Liboff', 'Legen', 901, 'Vibum'),
('Hukin', 'Taper', 503, 'Pafum'),
('Yobis', 'Wagin', 652, 'Gafum'),
('Weboff', 'Zapin', 622, 'Vibum'),
('Dopov', 'Zapin', 166, 'Teder'),
('Sobski', 'Taper', 206, 'Teder'),
('Tomel', 'Zapin', 326, 'Rumis'),
('Taroff', 'Wagin', 831, 'Wagen'),
('Zudon', 'Taper', 617, 'Gafum'),
('Sigum', 'Zapin', 950, 'Rumis');

CREATE TABLE plays (lender TEXT, rider TEXT, starts INTEGER);
INSERT INTO plays VALUES
('Teder', 'Nozon', 543),
('Gafum', 'Torin', 752),
('Vibum', 'Nozon', 45),
('Rumis', 'Torin', 916),
('Pafum', 'Nozon', 480),
('Wagen', 'Loper', 418);

CREATE TABLE servers (wine TEXT, hooks INTEGER, tower TEXT, land TEXT);
INSERT INTO servers VALUES
('Wulis', 40, 'Pekis', 'Luber'),
('Lusin', 803, 'Nigski', 'Mofon'),
('Rivov', 741, 'Nigski', 'Rarin'),
('Lirin', 359, 'Tazic', 'Luber'),
('Bipen', 399, 'Vopel', 'Sipski'),
('Jofum', 303, 'Nigski', 'Wufic'),
('Zekov', 582, 'Tazic', 'Mofon'),
('Ramoff', 831, 'Pekis', 'Rarin'),
('Bezer', 577, 'Pekis', 'Topel'),
('Dubon', 53, 'Nigski', 'Topel');

CREATE TABLE salads (land TEXT, leader TEXT, seals INTEGER);
INSERT INTO salads VALUES
('Luber', 'Lumis', 792),
('Topel', 'Mobin', 176),
('Mofon', 'Gepen', 104),
('Rarin', 'Lumis', 340),
('Wufic', 'Lumis', 790),
('Sipski', 'Gepen', 160);

CREATE TABLE ants (reason TEXT, sea TEXT, masts INTEGER, creator TEXT);
INSERT INTO ants VALUES
('Rudon', 'Giten', 486, 'Hizon'),
('Naler', 'Giten', 365, 'Bibum'),
('Votis', 'Yefic', 211, 'Wirer'),
('Momon', 'Giten', 83, 'Hizon'),
('Lamel', 'Sober', 908, 'Wirer'),
('Mimis', 'Liric', 813, 'Ledon'),
('Jirov', 'Sober', 752, 'Puvic'),
('Basov', 'Liric', 601, 'Ledon'),
('Rusak', 'Liric', 503, 'Depel'),
('Nudoff', 'Liric', 125, 'Bibum');

CREATE TABLE brides (creator TEXT, hooks INTEGER, mate TEXT);
INSERT INTO brides VALUES
('Bibum', 606, 'Hebski'),
('Wirer', 886, 'Vurov'),
('Hizon', 564, 'Vurov'),
('Ledon', 346, 'Filoff'),
('Puvic', 53, 'Hebski'),
('Depel', 212, 'Vurov');

CREATE TABLE horses (band TEXT, masts INTEGER, suit TEXT, trail TEXT);
INSERT INTO horses VALUES
('Kelic', 393, 'Pozoff', 'Nalum'),
('Tovic', 338, 'Seron', 'Bazon'),
('Jiron', 207, 'Salis', 'Natin'),
('Timer', 751, 'Baber', 'Natin'),
('Gibis', 160, 'Seron', 'Zefoff'),
('Banon', 220, 'Seron', 'Kaser'),
('Guben', 686, 'Baber', 'Nevum'),
('Fakak', 402, 'Salis', 'Bazon'),
('Gorski', 363, 'Baber', 'Kaser'),
('Leten', 18, 'Baber', 'Nevum');

CREATE TABLE spices (trail TEXT, baths INTEGER, word TEXT);
INSERT INTO spices VALUES
('Nevum', 220, 'Sefon'),
('Natin', 248, 'Sefon'),
('Bazon', 551, 'Visic'),
('Kaser', 155, 'Bolis'),
('Zefoff', 886, 'Bolis'),
('Nalum', 394, 'Sefon');

CREATE TABLE houses (hotel TEXT, goal TEXT, goals INTEGER, image TEXT);
INSERT INTO houses VALUES
('Yeson', 'Zosov', 804, 'Yezski'),
('Rabski', 'Wivin', 393, 'Vatic'),
('Zatum', 'Wedum', 679, 'Ridum'),
('Fozin', 'Wedum', 769, 'Yezski'),
('Lutov', 'Degis', 350, 'Garon'),
('Vuzon', 'Zosov', 559, 'Gipski'),
('Mikis', 'Degis', 83, 'Ridum'),
('Dekov', 'Wedum', 557, 'Vatic'),
('Hamin', 'Zosov', 135, 'Buvski'),
('Yonic', 'Wedum', 232, 'Buvski');

CREATE TABLE pies (image TEXT, carts INTEGER, seat TEXT);
INSERT INTO pies VALUES
('Vatic', 841, 'Ziron'),
('Yezski', 660, 'Ziron'),
('Ridum', 493, 'Ziron'),
('Buvski', 514, 'Nifak'),
('Gipski', 189, 'Nalum'),
('Garon', 655, 'Nalum');

CREATE TABLE forts (crest TEXT, ratio INTEGER, officer TEXT, forest TEXT);
INSERT INTO forts VALUES
('Fufov', 147, 'Terel', 'Dinic'),
('Domin', 424, 'Harov', 'Fedon'),
('Minin', 573, 'Harov', 'Hukis'),
('Wibis', 698, 'Harov', 'Sakon'),
('Vizer', 343, 'Fetoff', 'Sakon'),
('Zisis', 38, 'Fetoff', 'Hukis'),
('Ridoff', 240, 'Terel', 'Tigum'),
('Fufis', 135, 'Koser', 'Fedon'),
('Volov', 492, 'Harov', 'Fipis'),
('Gibov', 491, 'Fetoff', 'Fipis');

CREATE TABLE boats (forest TEXT, heads INTEGER, plant TEXT);
INSERT INTO boats VALUES
('Sakon', 192, 'Wugin'),
('Hukis', 866, 'Wugin'),
('Fedon', 560, 'Kidski'),
('Fipis', 328, 'Simon'),
('Tigum', 511, 'Simon'),
('Dinic', 426, 'Wugin');
